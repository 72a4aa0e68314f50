"""Training data: folders of pictures, crops at their native scale, augmentation, batches."""
