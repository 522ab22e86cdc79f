#pragma once

#include "datasets/dataset_writer.h"
#include "datasets/image_dataset.h"

namespace ganymede {

/// Embeddings and tokens of a dataset, taken over into one that is made of its images: what `description` must say of
/// them.
void describe_text(const ImageDataset& from, DatasetDescription& description);
/// The same, once the writer is there. Throws Error(dataset) for damaged blocks.
void copy_text(const ImageDataset& from, DatasetWriter& to);
/// The same of embeddings alone.
void copy_embeddings(const ImageDataset& from, DatasetWriter& to);

}  // namespace ganymede
