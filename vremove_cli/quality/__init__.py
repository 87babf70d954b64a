"""How good an erased clip is: measures on arrays, one shot at a time, in bounded memory."""
