// Captions as tokens: their vocabulary, and the way from a file into batches.

#include <ATen/ATen.h>

#include "datasets/loader.h"
#include "datasets/verify_dataset.h"
#include "datasets/vocabulary.h"
#include "tests/datasets/fixture.h"

namespace ganymede {
namespace {

const std::vector<std::string> texts{"a red square left of a blue circle", "a green square, a red circle", "",
                                     "it's  naïve\n2026 \xE2\x98\x83!", "aaaa aaaa banana banana"};

TEST(Vocabulary, KeepsEveryByteOfATextAndRepeats) {
  const Vocabulary vocabulary = Vocabulary::train(texts, 275);
  EXPECT_EQ(vocabulary.size(), 275);
  EXPECT_EQ(vocabulary.end(), 274);
  for (const std::string& text : texts) EXPECT_EQ(vocabulary.decode(vocabulary.encode(text)), text);
  EXPECT_LT(vocabulary.encode(texts[0]).size(), texts[0].size() * 2 / 3);
  EXPECT_EQ(Vocabulary::train(texts, 275).text(), vocabulary.text());
  const Vocabulary again = Vocabulary::read(vocabulary.text(), "here");
  EXPECT_EQ(again.text(), vocabulary.text());
  for (const std::string& text : texts) EXPECT_EQ(again.encode(text), vocabulary.encode(text));
  // Pairs that come once teach nothing.
  EXPECT_EQ(Vocabulary::train(texts, 5000).size(), 279);
}

TEST(Vocabulary, KeepsAnyBytes) {
  const Vocabulary vocabulary = Vocabulary::train(texts, 290);
  for (std::int64_t i = 0; i < 200; ++i) {
    const std::vector<std::byte> bytes = random_bytes(i);
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    EXPECT_EQ(vocabulary.decode(vocabulary.encode(text)), text) << i;
  }
}

TEST(Vocabulary, EndsRowsAndCutsLongOnes) {
  const Vocabulary vocabulary = Vocabulary::train({}, 257);
  const auto row = vocabulary.row("abc", 6), cut = vocabulary.row("abc", 3), exact = vocabulary.row("abc", 4);
  EXPECT_EQ(row.tokens.size(), 6u);
  EXPECT_EQ((std::vector(row.tokens.begin() + 3, row.tokens.end())), (std::vector<std::int32_t>(3, 256)));
  EXPECT_FALSE(row.is_cut || exact.is_cut);
  EXPECT_TRUE(cut.is_cut);
  EXPECT_EQ(vocabulary.decode(cut.tokens), "ab");
  EXPECT_EQ(vocabulary.row("", 2).tokens, (std::vector<std::int32_t>(2, 256)));
}

TEST(Vocabulary, RefusesFilesThatDoNotFit) {
  const VocabularyText sound = Vocabulary::train(texts, 270).text();
  const auto refused = [](const VocabularyText& text) {
    return message_of(ExitCode::dataset, [&] { Vocabulary::read(text, "here"); });
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    VocabularyText text = sound;
    text.vocab.replace(text.vocab.find(from), from.size(), to);
    return text;
  };
  EXPECT_NE(refused({"[]", ""}).find("here: vocab.json is no object"), std::string::npos);
  EXPECT_NE(refused({"{", ""}).find("no object"), std::string::npos);
  EXPECT_NE(refused(with("\"!\": 0", "\"!\": 1")).find("the id 1; expected 0 to 269, each once"),
            std::string::npos);
  EXPECT_NE(refused(with("\"!\": 0", "\"!\": -1")).find("the id -1"), std::string::npos);
  EXPECT_NE(refused(with("<|endoftext|>", "<|eot|>")).find("<|endoftext|>"), std::string::npos);
  EXPECT_NE(refused(with("\"!\": 0", "\"!!\": 0")).find("no token for byte 33"), std::string::npos);
  EXPECT_NE(refused({sound.vocab, "#version: 0.2\na b\nq\n"}).find("line 2 is no pair"), std::string::npos);
  EXPECT_NE(refused({sound.vocab, "a"}).find("line 1 is no pair"), std::string::npos);
}

class TextTest : public DatasetTest {
 protected:
  static constexpr std::int64_t images = 23, length = 4;

  /// The tokens of image i are i, i + 1, i + 2, i + 3; its two embeddings of three numbers count from 6 i on.
  std::filesystem::path write(const std::string& name, std::int32_t spoilt = 0) {
    const Vocabulary vocabulary = Vocabulary::train({}, 257);
    DatasetWriter writer(folder / name, {.count = images,
                                         .channels = 1,
                                         .height = 2,
                                         .width = 2,
                                         .embeddings = {2, 3},
                                         .caption_bytes = 3,
                                         .tokens = {length, vocabulary.text()}});
    for (std::int32_t i = 0; i < images; ++i) {
      writer.write_images(i, std::vector<std::byte>(4, static_cast<std::byte>(i)));
      writer.write_tokens(i, std::vector<std::int32_t>{i + spoilt, i + 1, i + 2, i + 3});
      writer.write_captions(i, std::vector<std::string>{std::to_string(i)});
      std::vector<float> numbers;
      for (std::int32_t k = 0; k < 6; ++k) numbers.push_back(static_cast<float>(6 * i + k));
      writer.write_embeddings(i, numbers);
    }
    writer.finish();
    return folder / name;
  }
  static LoaderOptions options(int rank, int world_size) {
    return {.micro_batch = 7,
            .rank = rank,
            .world_size = world_size,
            .seed = 3,
            .companions = {.embedding = 3, .embedding_rows = 2, .tokens = length, .vocabulary = 257}};
  }
  static at::Tensor number_of(const at::Tensor& images_in) {
    return ((images_in.select(1, 0).select(1, 0).select(1, 0) + 1) * 127.5).round().to(at::kLong);
  }
};

TEST_F(TextTest, TokensAndAllEmbeddingsComeWithTheirImages) {
  const ImageDataset dataset = open_dataset({write("a.h5")});
  ASSERT_NE(dataset.tokens(), nullptr);
  EXPECT_TRUE(dataset.tokens()->has_digests());
  Loader whole(dataset, options(0, 1)), first(dataset, options(0, 2)), second(dataset, options(1, 2));
  for (int i = 0; i < 8; ++i) {
    const Batch batch = whole.next(), a = first.next(), b = second.next();
    const at::Tensor number = number_of(batch.images);
    EXPECT_EQ(batch.tokens.scalar_type(), at::kLong);
    EXPECT_TRUE(at::equal(batch.tokens, number.unsqueeze(1) + at::arange(length)));
    EXPECT_TRUE(at::equal(batch.embeddings,
                          (number.view({-1, 1, 1}) * 6 + at::arange(6).view({2, 3})).to(at::kFloat)));
    EXPECT_TRUE(at::equal(at::cat({a.tokens, b.tokens}), batch.tokens));
    EXPECT_TRUE(at::equal(at::cat({a.embeddings, b.embeddings}), batch.embeddings));
  }
  EXPECT_TRUE(at::equal(read_tokens(*dataset.tokens(), images - 1, 2).select(1, 0),
                        at::tensor({images - 1, std::int64_t{0}})));
  verify_dataset({folder / "a.h5"}, 1);
}

TEST_F(TextTest, WhatANetworkExpectsMustBeThere) {
  const ImageDataset dataset = open_dataset({write("a.h5")});
  const auto refused = [&](const CompanionNeeds& needs) {
    return message_of(ExitCode::dataset, [&] { check_companions(dataset, needs); });
  };
  EXPECT_NE(refused({.tokens = 5, .vocabulary = 257}).find("set text.length = 4"), std::string::npos);
  EXPECT_NE(refused({.tokens = 4, .vocabulary = 300}).find("set text.vocabulary = 257"), std::string::npos);
  EXPECT_NE(
      refused({.embedding = 3, .embedding_rows = 3}).find("2 embeddings an image, the networks expect 3"),
      std::string::npos);
  const ImageDataset bare = open_dataset({write_dataset(
      folder / "bare.h5", {.count = 2, .channels = 1, .height = 2, .width = 2}, random_bytes(8))});
  EXPECT_NE(message_of(ExitCode::dataset, [&] { check_companions(bare, {.tokens = 4, .vocabulary = 257}); })
                .find("no tokens (/tokens)"),
            std::string::npos);
}

TEST_F(TextTest, TokensThatAreNoneAreRefused) {
  const ImageDataset dataset = open_dataset({write("a.h5", 257)});
  const std::string expected = "/tokens: image 0 holds 257; expected tokens of 0 to 256";
  EXPECT_NE(message_of(ExitCode::dataset, [&] { read_tokens(*dataset.tokens(), 0, 1); }).find(expected),
            std::string::npos);
  EXPECT_NE(
      message_of(ExitCode::dataset, [&] { verify_dataset({folder / "a.h5"}, 1); }).find("/tokens: image"),
      std::string::npos);
}

TEST_F(TextTest, DigestsTellOtherTokensAndJoinOnesOfOneVocabulary) {
  write("a.h5");
  write("b.h5", 1);
  EXPECT_EQ(open_dataset({folder / "a.h5", folder / "b.h5"}).tokens()->size(), 2 * images);
  EXPECT_NE(open_dataset({folder / "a.h5"}).digest(), open_dataset({folder / "b.h5"}).digest());
}

}  // namespace
}  // namespace ganymede
