"""The configurations of the full-size networks, from the public repositories."""

VOID = {
    "num_attention_heads": 48, "attention_head_dim": 64, "in_channels": 33, "out_channels": 16, "num_layers": 42,
    "time_embed_dim": 512, "text_embed_dim": 4096, "patch_size": 2, "patch_size_t": 2, "patch_bias": False,
    "use_rotary_positional_embeddings": True, "use_learned_positional_embeddings": False, "sample_width": 300,
    "sample_height": 300, "sample_frames": 81, "add_noise_in_inpaint_model": True,
}  # fmt: skip

ROSE = {"dim": 1536, "ffn_dim": 8960, "freq_dim": 256, "num_heads": 12, "num_layers": 30, "in_dim": 36, "out_dim": 16}

LARGE = {"dim": 5120, "ffn_dim": 13824, "freq_dim": 256, "num_heads": 40, "num_layers": 40, "in_dim": 36, "out_dim": 16}

SMALL = {"num_attention_heads": 12, "attention_head_dim": 128, "num_layers": 30, "ffn_dim": 8960, "in_channels": 48}

ROREM = {
    "sample_size": 128, "in_channels": 9, "out_channels": 4, "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "layers_per_block": 2,
    "cross_attention_dim": 2048, "transformer_layers_per_block": [1, 2, 10], "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
SDXL_VAE = {
    "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "latent_channels": 4, "layers_per_block": 2, "sample_size": 1024,
    "scaling_factor": 0.13025, "force_upcast": True,
}  # fmt: skip
