"""What is where: objects by a phrase, and what will move once an object is gone."""
