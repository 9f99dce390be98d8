"""The built-in audits: one question a file, declared through the same door as anybody's."""
