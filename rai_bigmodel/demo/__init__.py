"""What does the demo train, audit and judge by? Its files, as package data."""
