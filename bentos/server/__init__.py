"""uvicorn and BentoML, hardened: protocol errors, slow clients, graceful shutdown."""
