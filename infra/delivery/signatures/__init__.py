"""Signatures and attestations of images, made and verified by cosign."""
