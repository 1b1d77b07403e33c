"""Our own socket types: only where ComfyUI has none for the thing that travels."""

from __future__ import annotations

from comfy_api.latest import io

FaceParserSocket = io.Custom("VISAGE_FACE_PARSER")
TextAdapterSocket = io.Custom("VISAGE_TEXT_ADAPTER")
CropsSocket = io.Custom("VISAGE_CROPS")
TrajectorySocket = io.Custom("VISAGE_TRAJECTORY")
FacesSocket = io.Custom("VISAGE_FACES")
RegionsSocket = io.Custom("VISAGE_REGIONS")
RunsSocket = io.Custom("VISAGE_RUNS")
FastStyleSocket = io.Custom("VISAGE_FAST_STYLE")
MosaicSocket = io.Custom("VISAGE_MOSAIC")
LayersSocket = io.Custom("VISAGE_LAYERS")
# Spelled as other packs spell it, so that their loaders fit as well.
IPAdapterSocket = io.Custom("IPADAPTER")
