"""How are networks trained? `fit` is the loop; importing this package loads nothing."""
