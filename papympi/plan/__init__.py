"""A graph compiled for one run: checked, fused, with strides and pools."""
