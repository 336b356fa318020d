"""The optional fast path: small JSON predictions answered below ASGI (README.md)."""
