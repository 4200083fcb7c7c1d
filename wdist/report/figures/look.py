"""What all figures look like: colours, type, resolution."""

from typing import Any

from matplotlib.colors import LinearSegmentedColormap

INK, MUTED, FAINT = "#22313f", "#7a8793", "#d9dee3"
MAIN = "#0b6e8e"
OTHERS = ("#c8643c", "#8a6bb0", "#8f8f2f", "#b3477d", "#5b7f5b", "#6f6f6f")
SIDE_A, SIDE_B = "#c8643c", "#22313f"
SURFACE = LinearSegmentedColormap.from_list("potential", ["#0c2c47", "#0b6e8e", "#5fb3b3", "#cfe3cf", "#fbf6e4"])
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "wdist",
}
DPI = 160
