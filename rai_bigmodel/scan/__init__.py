"""Is this model file safe to open? It is looked at without being loaded; every loader asks."""

from rai_bigmodel.scan.looking import Finding, Scanned, refuse_unsafe, scan, scan_bytes

__all__ = ["Finding", "Scanned", "refuse_unsafe", "scan", "scan_bytes"]
