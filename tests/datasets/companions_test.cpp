#include "datasets/companions.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <span>

#include "datasets/loader.h"
#include "datasets/verify_dataset.h"
#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

using Sources = CompanionNeeds::Sources;

/// 37 images whose pixels tell their number and their column; as many or 23 sources alike; embeddings
/// [number, caption, ...].
class CompanionsTest : public DatasetTest {
 protected:
  static constexpr std::int64_t images = 37, side = 6, captions = 3, numbers = 4;

  static std::vector<std::byte> pictures(std::int64_t count, std::int64_t channels) {
    std::vector<std::byte> bytes;
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t k = 0; k < channels * side; ++k)
        for (std::int64_t x = 0; x < side; ++x) bytes.push_back(static_cast<std::byte>(i * side + x));
    return bytes;
  }
  static std::vector<float> sentences() {
    std::vector<float> values;
    for (std::int64_t i = 0; i < images; ++i)
      for (std::int64_t k = 0; k < captions; ++k)
        for (const std::int64_t value : {i, k, i * k, std::int64_t{7}})
          values.push_back(static_cast<float>(value));
    return values;
  }
  static DatasetDescription description(std::int64_t sources, bool paired) {
    return {.count = images,
            .channels = 1,
            .height = side,
            .width = side,
            .sources = {sources, 2, paired},
            .embeddings = {captions, numbers}};
  }
  std::filesystem::path write(const std::string& name, const DatasetDescription& what,
                              const std::vector<float>& embeddings = sentences()) {
    DatasetWriter writer(folder / name, what);
    writer.write_images(0, pictures(images, 1));
    writer.write_sources(0, pictures(what.sources.count, 2));
    writer.write_embeddings(0, embeddings);
    writer.finish();
    return folder / name;
  }
  ImageDataset paired() { return open_dataset({write("paired.h5", description(images, true))}); }
  ImageDataset unpaired() { return open_dataset({write("unpaired.h5", description(23, false))}); }
  static LoaderOptions options(Sources sources) {
    return {.micro_batch = 10,
            .seed = 5,
            .flip = true,
            .companions = {
                .sources = sources, .source_channels = 2, .embedding = numbers, .other_embeddings = true}};
  }
  static std::vector<Batch> take(const ImageDataset& from, const LoaderOptions& options, int batches) {
    Loader loader(from, options);
    std::vector<Batch> result;
    for (int i = 0; i < batches; ++i) result.push_back(loader.next());
    return result;
  }
  /// The number of each image, whether mirrored or not.
  static at::Tensor number_of(const at::Tensor& rows) {
    return ((rows.select(1, 0).select(1, 0).amin(1) + 1) * 127.5).round().to(at::kLong).floor_divide(side);
  }
  static std::vector<at::Tensor> parts_of(const Batch& batch) {
    return {batch.images, batch.sources, batch.embeddings, batch.other_embeddings};
  }
  std::string refused(const ImageDataset& dataset, const CompanionNeeds& needs) {
    return message_of(ExitCode::dataset, [&] { check_companions(dataset, needs); });
  }
};

TEST_F(CompanionsTest, GivesEachImageItsSourceAndOneOfItsEmbeddings) {
  const ImageDataset dataset = paired();
  std::set<std::int64_t> seen_captions;
  bool flipped = false, straight = false;
  for (const Batch& batch : take(dataset, options(Sources::paired), 12)) {
    EXPECT_EQ(batch.sources.sizes(), (at::IntArrayRef{10, 2, side, side}));
    EXPECT_TRUE(batch.sources.is_contiguous(at::MemoryFormat::ChannelsLast));
    // The columns tell that both are mirrored, or neither.
    EXPECT_TRUE(at::equal(batch.sources, batch.images.expand_as(batch.sources)));
    for (std::int64_t i = 0; i < 10; ++i)
      (batch.images[i][0][0][0].item<float>() > batch.images[i][0][0][1].item<float>() ? flipped : straight) =
          true;
    const at::Tensor image = number_of(batch.images), caption = batch.embeddings.select(1, 1);
    EXPECT_TRUE(at::equal(batch.embeddings.select(1, 0).to(at::kLong), image));
    EXPECT_TRUE(at::equal(batch.embeddings.select(1, 2), caption * batch.embeddings.select(1, 0)));
    for (std::int64_t i = 0; i < 10; ++i) seen_captions.insert(caption[i].item<std::int64_t>());
    // Those of the other half of the micro-batch.
    const at::Tensor others = batch.other_embeddings.select(1, 0).to(at::kLong);
    EXPECT_TRUE(at::equal(others, image.roll(-5)));
  }
  EXPECT_EQ(seen_captions, (std::set<std::int64_t>{0, 1, 2}));
  EXPECT_TRUE(flipped && straight);
}

TEST_F(CompanionsTest, GivesUnpairedSourcesInAnOrderOfTheirOwn) {
  const ImageDataset dataset = unpaired();
  std::vector<std::int64_t> order;
  int alike = 0, both = 0;
  for (const Batch& batch : take(dataset, options(Sources::unpaired), 23)) {
    const at::Tensor number = number_of(batch.sources);
    for (std::int64_t i = 0; i < 10; ++i) {
      order.push_back(number[i].item<std::int64_t>());
      const auto mirrored = [](const at::Tensor& image) {
        return image[0][0][0].item<float>() > image[0][0][1].item<float>();
      };
      alike += mirrored(batch.images[i]) == mirrored(batch.sources[i]) ? 1 : 0;
      ++both;
    }
  }
  EXPECT_NEAR(alike, both / 2, 40);
  std::set<std::vector<std::int64_t>> epochs;
  for (std::size_t epoch = 0; epoch < 10; ++epoch) {
    const std::vector<std::int64_t> one(order.begin() + static_cast<std::ptrdiff_t>(epoch * 23),
                                        order.begin() + static_cast<std::ptrdiff_t>(epoch * 23 + 23));
    EXPECT_EQ(std::set(one.begin(), one.end()).size(), 23u) << epoch;
    epochs.insert(one);
  }
  EXPECT_EQ(epochs.size(), 10u);
}

TEST_F(CompanionsTest, GivesTheSameAtAnyRankAndThreadCountAndPosition) {
  for (const bool in_pairs : {true, false}) {
    const ImageDataset dataset = in_pairs ? paired() : unpaired();
    const LoaderOptions base = options(in_pairs ? Sources::paired : Sources::unpaired);
    const std::vector<Batch> reference = take(dataset, base, 9);
    for (const int ranks : {1, 2, 3, 12}) {
      std::vector<std::vector<Batch>> shares;
      for (int rank = 0; rank < ranks; ++rank) {
        LoaderOptions own = base;
        own.rank = rank;
        own.world_size = ranks;
        own.threads = ranks;
        own.position = 20;
        shares.push_back(take(dataset, own, 7));
      }
      for (std::size_t b = 0; b < 7; ++b)
        for (std::size_t part = 0; part < 4; ++part) {
          std::vector<at::Tensor> rows;
          for (const std::vector<Batch>& share : shares) rows.push_back(parts_of(share[b])[part]);
          EXPECT_TRUE(at::equal(at::cat(rows), parts_of(reference[b + 2])[part]))
              << ranks << " ranks, part " << part;
        }
    }
  }
}

TEST_F(CompanionsTest, ReadsRowsRoundAndRound) {
  const ImageDataset dataset = unpaired();
  const at::Tensor sources = read_sources(*dataset.sources(), 20, 50);
  EXPECT_EQ(sources.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(number_of(sources), at::arange(20, 70).remainder(23)));
  const at::Tensor rows = read_embeddings(*dataset.embeddings(), images - 1, 2 * images + 2);
  EXPECT_TRUE(
      at::equal(rows.select(1, 0).to(at::kLong), at::arange(images - 1, 3 * images + 1).remainder(images)));
  EXPECT_EQ(rows[0][1].item<float>(), 0);
  EXPECT_EQ(rows[1][1].item<float>(), 1);
  EXPECT_EQ(rows[images + 1][1].item<float>(), 2);
  EXPECT_EQ(rows[2 * images + 1][1].item<float>(), 0);
}

TEST_F(CompanionsTest, SaysWhatADatasetLacks) {
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const ImageDataset bare = open_dataset(
      {write_dataset(folder / "bare.h5", {.count = images, .channels = 1, .height = side, .width = side},
                     pictures(images, 1))});
  EXPECT_TRUE(
      has(refused(bare, {.sources = Sources::unpaired, .source_channels = 2}), "--sources or --pairs"));
  EXPECT_TRUE(has(refused(bare, {.embedding = 4}), "bare.h5: no embeddings"));
  const ImageDataset loose = unpaired();
  EXPECT_TRUE(has(refused(loose, {.sources = Sources::paired, .source_channels = 2}),
                  "the 23 sources are not paired with the 37 images"));
  EXPECT_TRUE(has(refused(loose, {.sources = Sources::unpaired, .source_channels = 3}), "have 2 channels"));
  EXPECT_TRUE(has(refused(loose, {.embedding = 5}), "have 4 numbers, the networks expect 5"));
  // As many sources as images make no pairs by themselves.
  const ImageDataset equal = open_dataset({write("equal.h5", description(images, false))});
  refused(equal, {.sources = Sources::paired, .source_channels = 2});
  check_companions(paired(), {.sources = Sources::unpaired, .source_channels = 2});
}

TEST_F(CompanionsTest, RefusesDamageAndWhatIsNoNumber) {
  const auto path = write("a.h5", description(images, true));
  EXPECT_EQ(verify_dataset({path}, 1).blocks, 3);
  flip_byte(path,
            layout_from_json(ImageDataset::inspect({path})).sources.front().files.front().images.offset + 9);
  const ImageDataset damaged = open_dataset({path});
  EXPECT_NE(message_of(ExitCode::dataset, [&] { take(damaged, options(Sources::paired), 1); })
                .find("/sources: block 0"),
            std::string::npos);
  EXPECT_NE(message_of(ExitCode::dataset, [&] { verify_dataset({path}, 1); }).find("/sources"),
            std::string::npos);

  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> values = sentences();
    values[11 * captions * numbers] = bad;
    const auto spoilt = write("b.h5", description(images, true), values);
    const ImageDataset dataset = open_dataset({spoilt});
    EXPECT_NE(message_of(ExitCode::dataset, [&] { take(dataset, options(Sources::paired), 4); })
                  .find("/embeddings: image 11"),
              std::string::npos);
    EXPECT_NE(
        message_of(ExitCode::dataset, [&] { verify_dataset({spoilt}, 1); }).find("/embeddings: image 11"),
        std::string::npos);
  }
}

TEST_F(CompanionsTest, TakesSourcesOfOddBytesBesideRealImages) {
  // Whole sources of 147 bytes, and whole names of 3, make blocks that are no whole number of floats.
  const DatasetDescription what{.type = ElementType::float32,
                                .count = 2,
                                .channels = 1,
                                .height = 7,
                                .width = 7,
                                .low = -1,
                                .high = 1,
                                .class_names = {"cat", "dog"},
                                .sources = {2, 3, true}};
  const std::vector<std::byte> zeros(static_cast<std::size_t>(what.count * what.image_bytes()));
  const std::vector<std::byte> sources = random_bytes(what.sources.count * what.source_bytes());
  DatasetWriter writer(folder / "real.h5", what);
  writer.write_images(0, zeros);
  writer.write_sources(0, sources);
  writer.finish();
  const ImageDataset dataset = open_dataset({folder / "real.h5"});
  EXPECT_TRUE(dataset.has_paired_sources());
  std::vector<std::byte> second(static_cast<std::size_t>(what.source_bytes()));
  dataset.sources()->read(1, second);
  EXPECT_TRUE(std::ranges::equal(second, std::span(sources).last(second.size())));
  EXPECT_EQ(verify_dataset({folder / "real.h5"}, 1).images, 2);
}

TEST_F(CompanionsTest, JoinsFilesAndTellsThemApart) {
  const auto a = write("a.h5", description(images, true)), b = write("b.h5", description(images, true));
  const ImageDataset both = open_dataset({a, b});
  EXPECT_EQ(both.sources()->size(), 2 * images);
  EXPECT_EQ(both.embeddings()->size(), 2 * images);
  EXPECT_TRUE(both.has_paired_sources());
  const auto loose = write("c.h5", description(images, false));
  EXPECT_FALSE(open_dataset({a, loose}).has_paired_sources());
  EXPECT_NE(open_dataset({a}).digest(), open_dataset({loose}).digest());
  const auto bare = write_dataset(
      folder / "d.h5", {.count = images, .channels = 1, .height = side, .width = side}, pictures(images, 1));
  EXPECT_NE(message_of(ExitCode::dataset,
                       [&] {
                         open_dataset({a, bare});
                       })
                .find("lacks /sources"),
            std::string::npos);
  std::vector<float> other = sentences();
  other[3] = 8;
  EXPECT_NE(open_dataset({a}).digest(),
            open_dataset({write("e.h5", description(images, true), other)}).digest());
}

}  // namespace
}  // namespace ganymede
