"""How does a trained network leave this package? As an ONNX file, read back from its bytes."""
