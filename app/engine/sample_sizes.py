"""How many images, or seeds, a claim of a given size needs."""

from app.process.rights import looks
from cfa import statistics

images_needed = looks(statistics.images_needed)
paired_images_needed = looks(statistics.paired_images_needed)
seeds_needed = looks(statistics.seeds_needed)
