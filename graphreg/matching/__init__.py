"""Stages 3 and 4: costs of displacements, and which keypoints are neighbours."""
