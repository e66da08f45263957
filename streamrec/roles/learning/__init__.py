"""The stages of `learn`: what one batch goes through."""
