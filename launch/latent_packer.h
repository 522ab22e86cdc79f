#pragma once

#include "datasets/image_dataset.h"
#include "launch/first_stage_run.h"
#include "models/first_stages/autoencoder.h"

namespace ganymede {

/// Makes a dataset of latents (StoredLatents) from one of images, by all ranks. Its blocks of 256 images are encoded
/// apart, each by one rank, and kept in OUT.parts until all are there: whoever comes after a stop goes on with those
/// that the same autoencoder has made of the same images. The file is the same at any number of ranks.
class LatentPacker {
 public:
  struct Setting {
    Process& process;
    const ImageDataset& images;
    Autoencoder& network;
    const AutoencoderOptions& options;
    std::string first_stage;  ///< digest of the weights
    std::filesystem::path out;
    std::int64_t batch = 32;  ///< images a forward, and as many mirrored
    std::optional<at::ScalarType> activations = std::nullopt;
    std::function<void(std::int64_t done, std::int64_t total)> advance = {};  ///< images, on rank 0
  };
  explicit LatentPacker(const Setting& setting);

  /// Returns how many images' latents were there already. Collective; throws AgreedError.
  std::int64_t encode_all();
  /// The dataset, and no more parts. Collective.
  LatentNotes write();

 private:
  static constexpr std::int64_t block_images = 256;

  std::int64_t blocks() const { return (setting_.images.size() + block_images - 1) / block_images; }
  std::filesystem::path path_of(std::int64_t block) const;
  std::int64_t images_of(std::int64_t block) const;
  /// Of their pixels: a dataset's own digest tells little of a file that has none of its blocks.
  std::string digest_of_images(std::int64_t block) const;
  bool is_there(std::int64_t block) const;
  void encode(std::int64_t block) const;
  /// [2, z]: sums over images, both sides and places of a latent's mean, and of its square's.
  at::Tensor sums_of(const at::Tensor& rows) const;
  LatentNotes notes() const;

  Setting setting_;
  std::filesystem::path folder_;
  std::string key_;
};

}  // namespace ganymede
