"""Stage 6: displacements of keypoints to a dense field."""
