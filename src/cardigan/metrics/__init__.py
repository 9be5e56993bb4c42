"""Metrics: numbers from pictures. Pure functions, one family a file; they know no network, no run and no data set.

``fidelity`` compares a picture with the one it should be, pixel by pixel; ``texture`` compares how two sets of pictures
look close up, whatever they show.

The others read heaps of features. ``kernel`` and ``frechet`` say how far two lie apart, ``manifold`` tells fidelity
from variety, and ``inception_score`` reads a classifier's answers. ``copying`` finds samples that repeat training
images, and ``authenticity`` is an older measure of that; ``duplicates`` finds samples that repeat each other, and how
many different ones there may be; ``modes`` counts them where their number is known. ``per_class`` takes any of these
class by class.

They stand on ``heaps``, what features must be; ``neighbours`` and ``pairs``, who lies near whom, in bounded memory; and
``descriptor``, where no network makes features.
"""
