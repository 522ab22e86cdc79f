#include "models/features/known_weights.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "models/features/inception_names.h"

namespace ganymede {
namespace {

/// A file that only tells names and shapes: reading a value of it fails the test.
WeightsSource source_with(const std::vector<ExpectedTensor>& tensors, const std::string& prefix = "") {
  WeightsSource source{"file.pth", {}, [](const std::string& name) -> at::Tensor {
                         ADD_FAILURE() << name << " is read";
                         return {};
                       }};
  for (const auto& [name, shape] : tensors)
    source.types.emplace(prefix + name, TensorType{at::kFloat, shape});
  return source;
}

std::string refusal(const WeightsSource& source) {
  try {
    make_known_extractor(source, {});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::checkpoint);
    return error.what();
  }
  return "not refused";
}

TEST(InceptionNames, AreThoseOfTheNetwork) {
  const auto& table = inception_convolutions();
  EXPECT_EQ(table.size(), 94u);
  EXPECT_EQ(inception_tensors(InceptionLayout::torchvision, 1008).size() + table.size(), 566u)
      << "with num_batches_tracked, those of the published file";
  std::int64_t numbers = 0;
  for (const auto& [name, shape] : inception_tensors(InceptionLayout::torchvision, 1008))
    numbers += c10::multiply_integers(shape);
  EXPECT_EQ(numbers, 23'885'392);
  std::set<std::string> theirs;
  for (const InceptionConvolution& c : table) theirs.insert(nvidia_name(c.name));
  EXPECT_EQ(theirs.size(), 94u) << "no name stands for two";
}

TEST(KnownWeights, KnowsBothLayouts) {
  for (const InceptionLayout layout : {InceptionLayout::torchvision, InceptionLayout::nvidia}) {
    const WeightsReport report = recognise_weights(source_with(inception_tensors(layout, 1008)));
    EXPECT_EQ(report.network, "inception-v3");
    EXPECT_EQ(report.found, report.expected);
    EXPECT_TRUE(report.problems.empty());
    EXPECT_TRUE(report.unused.empty());
    EXPECT_EQ(report.caveat, "");
  }
}

TEST(KnownWeights, LooksBehindACommonPrefix) {
  const auto tensors = inception_tensors(InceptionLayout::torchvision, 1008);
  EXPECT_TRUE(recognise_weights(source_with(tensors, "state_dict.module.")).problems.empty());
  EXPECT_EQ(recognise_weights(source_with(tensors, "state_dict.module.")).network, "inception-v3");
}

TEST(KnownWeights, TakesTorchvisionsOwnWithACaveat) {
  auto tensors = inception_tensors(InceptionLayout::torchvision, 1000);
  tensors.push_back({"AuxLogits.fc.weight", {1000, 768}});
  tensors.push_back({"Conv2d_1a_3x3.bn.num_batches_tracked", {}});
  const WeightsReport report = recognise_weights(source_with(tensors));
  EXPECT_TRUE(report.problems.empty());
  EXPECT_EQ(report.unused, std::vector<std::string>{"AuxLogits.fc.weight"});
  EXPECT_NE(report.caveat, "");
}

TEST(KnownWeights, SaysWhatIsMissingOrOfWrongShape) {
  auto tensors = inception_tensors(InceptionLayout::nvidia, 1008);
  tensors.back().shape = {1001};
  tensors.erase(tensors.begin());
  const WeightsSource source = source_with(tensors);
  EXPECT_EQ(
      recognise_weights(source).problems,
      (std::vector<std::string>{"layers.conv.weight is missing", "output.bias is [1001], expected [1008]"}));
  EXPECT_EQ(refusal(source),
            "file.pth: weights of inception-v3 (NVIDIA's names), but layers.conv.weight is "
            "missing, and 1 more");
}

TEST(KnownWeights, RefusesIntegersAndStrangers) {
  WeightsSource source = source_with(inception_tensors(InceptionLayout::torchvision, 1008));
  source.types.at("fc.weight").dtype = at::kLong;
  EXPECT_NE(refusal(source).find("fc.weight is I64 [1008,2048], expected floating point"), std::string::npos);
  EXPECT_EQ(recognise_weights(source_with({{"a", {1}}})).network, "");
  EXPECT_NE(refusal(source_with({{"a", {1}}})).find("its 1 tensors (\"a\", ...) are not those"),
            std::string::npos);
  EXPECT_NE(refusal(source_with({})).find("its 0 tensors are not those"), std::string::npos);
}

}  // namespace
}  // namespace ganymede
