#include "datasets/loader.h"

#include <set>

#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

constexpr std::int64_t size = 7;  // of images, an odd one

/// 101 images whose first pixel is their number.
class LoaderTest : public DatasetTest {
 protected:
  LoaderTest() : dataset(open_dataset({write()})) {}

  std::filesystem::path write() {
    std::vector<std::byte> images = random_bytes(101 * 3 * size * size);
    std::vector<std::int64_t> labels(101);
    for (std::size_t i = 0; i < 101; ++i) {
      images[i * 3 * size * size] = static_cast<std::byte>(i);
      labels[i] = static_cast<std::int64_t>(i) - 1;  // the first has none
    }
    return write_dataset(folder / "a.h5", {.count = 101, .channels = 3, .height = size, .width = size},
                         images, labels);
  }

  static std::vector<Batch> take(const ImageDataset& from, const LoaderOptions& options, int batches) {
    Loader loader(from, options);
    std::vector<Batch> result;
    for (int i = 0; i < batches; ++i) result.push_back(loader.next());
    return result;
  }

  ImageDataset dataset;
};

TEST_F(LoaderTest, GivesImagesWithTheirLabels) {
  std::multiset<std::int64_t> seen;
  for (const Batch& batch : take(dataset, {.micro_batch = 101}, 3)) {
    EXPECT_TRUE(batch.images.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_EQ(batch.images.sizes(), (at::IntArrayRef{101, 3, size, size}));
    const at::Tensor number =
        ((batch.images.select(1, 0).select(1, 0).select(1, 0) + 1) * 127.5).round().to(at::kLong);
    EXPECT_TRUE(at::equal(number - 1, batch.labels));
    for (std::int64_t i = 0; i < 101; ++i) seen.insert(number[i].item<std::int64_t>());
    std::vector<std::byte> bytes(3 * size * size);
    dataset.read(number[42].item<std::int64_t>(), bytes);
    const at::Tensor expected =
        at::from_blob(bytes.data(), {3, size, size}, at::kByte).to(at::kFloat) / 127.5 - 1;
    EXPECT_TRUE(at::equal(batch.images[42], expected));
  }
  for (std::int64_t i = 0; i < 101; ++i) EXPECT_EQ(seen.count(i), 3u);
}

TEST_F(LoaderTest, GivesTheSameBatchesAtAnyRankCount) {
  const LoaderOptions base{.micro_batch = 10, .seed = 5, .flip = true};
  const std::vector<Batch> reference = take(dataset, base, 25);
  for (const int ranks : {2, 3, 5, 7, 8, 12}) {
    std::vector<std::vector<Batch>> shares;
    for (int rank = 0; rank < ranks; ++rank) {
      LoaderOptions options = base;
      options.rank = rank;
      options.world_size = ranks;
      shares.push_back(take(dataset, options, 25));
    }
    for (std::size_t b = 0; b < 25; ++b) {
      std::vector<at::Tensor> images, labels;
      for (const std::vector<Batch>& share : shares) {
        EXPECT_EQ(share[b].position, static_cast<std::int64_t>(b) * 10);
        EXPECT_EQ(share[b].share.count, share[b].images.size(0));
        images.push_back(share[b].images);
        labels.push_back(share[b].labels);
      }
      EXPECT_TRUE(at::equal(at::cat(images), reference[b].images)) << ranks << " ranks, batch " << b;
      EXPECT_TRUE(at::equal(at::cat(labels), reference[b].labels)) << ranks << " ranks, batch " << b;
    }
  }
}

TEST_F(LoaderTest, GivesTheSameBatchesOnAnyNumberOfThreads) {
  const LoaderOptions base{.micro_batch = 10, .seed = 5, .flip = true, .prefetch = 2, .threads = 1};
  const std::vector<Batch> reference = take(dataset, base, 60);
  for (const int threads : {2, 5}) {
    LoaderOptions options = base;
    options.threads = threads;
    const std::vector<Batch> batches = take(dataset, options, 60);
    for (std::size_t b = 0; b < 60; ++b) {
      EXPECT_EQ(batches[b].position, static_cast<std::int64_t>(b) * 10);
      EXPECT_TRUE(at::equal(batches[b].images, reference[b].images)) << threads << " threads, batch " << b;
      EXPECT_TRUE(at::equal(batches[b].labels, reference[b].labels));
    }
  }
}

TEST_F(LoaderTest, ContinuesAtAnyPosition) {
  const LoaderOptions base{.micro_batch = 9, .seed = 3, .flip = true, .dtype = at::kDouble};
  const std::vector<Batch> reference = take(dataset, base, 40);
  for (int start = 0; start < 36; ++start) {
    LoaderOptions options = base;
    options.position = start * 9;
    const std::vector<Batch> resumed = take(dataset, options, 3);
    for (std::size_t b = 0; b < 3; ++b) {
      const Batch& expected = reference[static_cast<std::size_t>(start) + b];
      EXPECT_EQ(resumed[b].position, expected.position);
      EXPECT_TRUE(at::equal(resumed[b].images, expected.images)) << start;
    }
  }
}

TEST_F(LoaderTest, FlipsHalfOfTheImages) {
  const LoaderOptions plain{.micro_batch = 101, .seed = 3};
  LoaderOptions flipping = plain;
  flipping.flip = true;
  const std::vector<Batch> a = take(dataset, plain, 4), b = take(dataset, flipping, 4);
  int flips = 0;
  std::set<std::string> patterns;
  for (std::size_t i = 0; i < 4; ++i) {
    std::string pattern;
    for (std::int64_t row = 0; row < 101; ++row) {
      const bool same = at::equal(a[i].images[row], b[i].images[row]);
      EXPECT_TRUE(same || at::equal(a[i].images[row].flip({2}), b[i].images[row]));
      flips += same ? 0 : 1;
      pattern += same ? '0' : '1';
    }
    patterns.insert(pattern);
  }
  EXPECT_NEAR(flips, 202, 50);
  EXPECT_EQ(patterns.size(), 4u);
}

// What a GPU makes of raw images is what the loader would have made of them.
TEST_F(LoaderTest, GivesRawImagesToConvertLater) {
  const LoaderOptions options{.micro_batch = 20, .seed = 3, .flip = true};
  LoaderOptions raw = options;
  raw.raw = true;
  const std::vector<Batch> converted = take(dataset, options, 8), stored = take(dataset, raw, 8);
  for (std::size_t b = 0; b < 8; ++b) {
    EXPECT_FALSE(converted[b].flips.defined());
    ASSERT_EQ(stored[b].images.scalar_type(), at::kByte);
    EXPECT_TRUE(stored[b].images.is_contiguous());
    const at::Tensor images = stored[b].images.to(at::kFloat) / 127.5 - 1;
    const at::Tensor flips = stored[b].flips.view({20, 1, 1, 1});
    EXPECT_TRUE(at::equal(at::where(flips, images.flip({3}), images), converted[b].images));
    EXPECT_TRUE(at::equal(stored[b].labels, converted[b].labels));
  }
}

// Memory is used again, but only when neither a batch nor a view of it is left.
TEST_F(LoaderTest, AveragesPixelsOfLargeImages) {
  constexpr std::int64_t large = 12, shrink = 4;
  for (const ElementType type : element_types) {
    const bool bytes_stored = type == ElementType::uint8;
    const std::size_t count = 5 * 2 * large * large;
    std::vector<std::byte> stored = random_bytes(count);
    if (!bytes_stored) {
      const at::Tensor values = at::rand({static_cast<std::int64_t>(count)})
                                    .to(type == ElementType::float32 ? at::kFloat : at::kHalf);
      stored.resize(values.nbytes());
      std::memcpy(stored.data(), values.data_ptr(), values.nbytes());
    }
    const ImageDataset images =
        open_dataset({write_dataset(folder / fmt::format("{}.h5", name_of(type)),
                                    {.type = type,
                                     .count = 5,
                                     .channels = 2,
                                     .height = large,
                                     .width = large,
                                     .high = bytes_stored ? 255. : 1.},
                                    stored, std::vector<std::int64_t>{0, 1, 2, 3, 4})});
    const Batch batch = take(images, {.micro_batch = 5, .flip = true, .shrink = shrink}, 1)[0];
    EXPECT_EQ(batch.images.sizes(), (at::IntArrayRef{5, 2, 3, 3}));
    const Batch whole = take(images, {.micro_batch = 5, .flip = true}, 1)[0];
    at::Tensor expected = at::avg_pool2d(whole.images.to(at::kDouble), shrink);
    if (bytes_stored) {
      const Batch raw = take(images, {.micro_batch = 5, .flip = true, .shrink = shrink, .raw = true}, 1)[0];
      EXPECT_TRUE(at::equal(at::where(raw.flips.view({5, 1, 1, 1}), raw.images.flip(3), raw.images),
                            ((batch.images + 1) * 127.5).round().to(at::kByte)));
      // Sums of bytes are exact; at::round takes halves to even.
      expected = at::round(at::avg_pool2d(((whole.images + 1) * 127.5).round(), shrink)) / 127.5 - 1;
    }
    EXPECT_TRUE(at::allclose(batch.images.to(at::kDouble), expected.to(at::kDouble), 0,
                             type == ElementType::float16 ? 1e-3 : 1e-6))
        << name_of(type);
  }
}

TEST_F(LoaderTest, LeavesKeptBatchesAlone) {
  Loader loader(dataset, {.micro_batch = 10, .prefetch = 1});
  std::set<const void*> places;
  const at::Tensor view = loader.next().images.select(0, 3);
  const at::Tensor copy = view.clone();
  for (int i = 0; i < 30; ++i) {
    places.insert(loader.next().images.data_ptr());
    ASSERT_TRUE(at::equal(view, copy));
  }
  EXPECT_LE(places.size(), 4u);
}

TEST_F(LoaderTest, EndsCleanlyAtAnyTime) {
  { const Loader loader(dataset, {.micro_batch = 1 << 20}); }
  { const Loader loader(dataset, {.micro_batch = 1, .prefetch = 1}); }
  Loader loader(dataset, {.micro_batch = 4, .prefetch = 2});
  loader.next();
}

TEST_F(LoaderTest, NeverGivesADamagedImage) {
  flip_byte(folder / "a.h5", offset_of_images(folder / "a.h5") + 5000);
  const ImageDataset damaged = open_dataset({folder / "a.h5"});
  Loader loader(damaged, {.micro_batch = 8});
  const std::string message = message_of(ExitCode::dataset, [&] { loader.next(); });
  EXPECT_NE(message.find("/images: block 0"), std::string::npos) << message;
  message_of(ExitCode::dataset, [&] { loader.next(); });
}

TEST_F(LoaderTest, NamesASampleThatIsNoNumber) {
  std::vector<float> values(30 * 4, 0.25f);
  values[4 * 17 + 2] = std::numeric_limits<float>::quiet_NaN();
  const DatasetDescription real{
      .type = ElementType::float32, .count = 30, .channels = 1, .height = 2, .width = 2, .low = 0, .high = 1};
  const ImageDataset reals =
      open_dataset({write_dataset(folder / "b.h5", real, std::as_bytes(std::span(values)))});
  const std::string message = message_of(ExitCode::dataset, [&] { take(reals, {.micro_batch = 8}, 5); });
  EXPECT_NE(message.find("b.h5: /images: image 17 (sample 17) holds nan"), std::string::npos) << message;
}

// 300 MiB are over the bound under which a set is asked for as a whole, so that lanes are followed; batches
// stay right.
TEST_F(LoaderTest, ReadsAheadInALargeSet) {
  constexpr std::int64_t count = 300, image_bytes = 1 << 20;
  {
    DatasetWriter writer(folder / "large.h5", {.count = count, .channels = 1, .height = 1024, .width = 1024});
    std::vector<std::byte> image(image_bytes);
    for (std::int64_t i = 0; i < count; ++i) {
      std::fill_n(image.begin(), 2, static_cast<std::byte>(i % 250));
      writer.write_images(i, image);
    }
    writer.finish();
  }
  const ImageDataset large = open_dataset({folder / "large.h5"});
  std::vector<int> seen(250, 0);
  for (const Batch& batch : take(large, {.micro_batch = 20, .prefetch = 1}, 15))
    for (std::int64_t row = 0; row < 20; ++row)
      ++seen[static_cast<std::size_t>((batch.images[row][0][0][0].item<float>() + 1) * 127.5f + 0.5f)];
  for (std::size_t i = 0; i < 250; ++i) EXPECT_EQ(seen[i], i < 50 ? 2 : 1) << i;
}

// After a roll-back the same images come, mirrored otherwise.
TEST_F(LoaderTest, ReseedingChangesTheFlipsAlone) {
  const auto first = [&](std::uint64_t reseed, bool flip) {
    return take(dataset, {.micro_batch = 64, .seed = 5, .reseed = reseed, .flip = flip}, 1)[0];
  };
  EXPECT_TRUE(at::equal(first(0, true).labels, first(1, true).labels));
  EXPECT_FALSE(at::equal(first(0, true).images, first(1, true).images));
  EXPECT_TRUE(at::equal(first(0, false).images, first(1, false).images));
}

}  // namespace
}  // namespace ganymede
