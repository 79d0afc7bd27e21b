"""Results: typed rows, run folders, frames and exports. Imports statistics and config only."""
