"""Metrics: numbers from pictures. Pure functions, one family a file; they know no network, no run and no data set.

``fidelity`` compares a picture with the one it should be, pixel by pixel; ``texture`` compares how two sets of pictures
look close up, whatever they show; ``kernel`` says how far two heaps of features lie apart; ``copying`` whether samples
repeat training images, with ``neighbours`` to find them and ``descriptor`` where no network makes features.
"""
