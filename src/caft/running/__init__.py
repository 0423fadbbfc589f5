"""What every job needs: log, progress, device, locks, and blocks that survive a kill."""
