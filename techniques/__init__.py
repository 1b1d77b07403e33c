"""The methods, one file each: plain torch, numpy and OpenCV, readable beside their equations."""
