#pragma once

#include "models/features/weights_source.h"

namespace ganymede {

/// One convolution of the FID Inception-v3, each followed by batch norm and ReLU. `name` is torchvision's:
/// "Conv2d_1a_3x3", "Mixed_5b.branch5x5_2".
struct InceptionConvolution {
  std::string name;
  std::int64_t in, out;
  std::array<std::int64_t, 2> kernel, stride{1, 1}, padding{0, 0};  ///< height, width
};

/// All 94, in the order of the network.
const std::vector<InceptionConvolution>& inception_convolutions();

/// How a file names the same weights.
enum class InceptionLayout {
  torchvision,  ///< <name>.conv.weight, <name>.bn.{weight,bias,running_mean,running_var}, fc.{weight,bias}:
                ///< pytorch-fid, torch-fidelity, and torchvision's own file
  nvidia,       ///< layers.<theirs>.{weight,beta,mean,var}, all gamma 1, output.{weight,bias}
};

/// NVIDIA's name of a convolution: "Mixed_5b.branch5x5_2" is "mixed.tower.conv_1".
std::string nvidia_name(const std::string& torchvision_name);

/// Every tensor that the layout needs. `classes` is 1008, or 1000 in torchvision's own file.
std::vector<ExpectedTensor> inception_tensors(InceptionLayout layout, std::int64_t classes);

/// The weights under torchvision's names, with gamma 1 where the layout has none: what the network and the
/// digest are made of. All expected tensors must be there.
NamedTensors read_inception(const WeightsSource& source, InceptionLayout layout);

}  // namespace ganymede
