#include <gtest/gtest.h>

#include "core/error.h"
#include "models/diffusion/denoiser.h"
#include "models/diffusion/process.h"
#include "models/exchange/network_format.h"
#include "models/gan/auxiliary.h"
#include "models/gan/loss.h"
#include "models/gan/network.h"
#include "tests/folder_names.h"

namespace ganymede {
namespace {

std::set<std::string> as_set(const std::vector<std::string>& names) {
  const std::set<std::string> set(names.begin(), names.end());
  EXPECT_EQ(set.size(), names.size()) << "a name stands twice in its table";
  return set;
}

TEST(GanNetworks, AreThoseOfTheirFolder) {
  EXPECT_EQ(as_set(gan_network_names()), names_in("models/gan/networks", ".h"));
  for (const std::string& name : gan_network_names()) EXPECT_NE(make_gan_networks(name), nullptr);
  EXPECT_THROW(make_gan_networks("nonesuch"), Error);
}

TEST(GanLosses, AreThoseOfTheirFolder) {
  EXPECT_EQ(as_set(gan_loss_names()), names_in("models/gan/losses", ".h"));
  for (const std::string& name : gan_loss_names()) EXPECT_NE(make_gan_loss(name), nullptr);
  EXPECT_THROW(make_gan_loss("nonesuch"), Error);
}

TEST(GanAuxiliaries, AreThoseOfTheirFolder) {
  std::set<std::string> names = as_set(gan_auxiliary_names());
  EXPECT_EQ(names.erase("none"), 1);
  EXPECT_EQ(names, names_in("models/gan/auxiliaries", ".h"));
  for (const std::string& name : names) EXPECT_NE(make_gan_auxiliary(name), nullptr);
  EXPECT_THROW(make_gan_auxiliary("nonesuch"), Error);
}

TEST(Denoisers, AreThoseOfTheirFolder) {
  EXPECT_EQ(as_set(denoiser_names()), names_in("models/diffusion/networks", ".h"));
  for (const std::string& name : denoiser_names()) EXPECT_NE(make_denoiser_network(name), nullptr);
  EXPECT_THROW(make_denoiser_network("nonesuch"), Error);
}

TEST(DiffusionProcesses, AreThoseOfTheirFolder) {
  EXPECT_EQ(as_set(diffusion_process_names()), names_in("models/diffusion/processes", ".h"));
  for (const std::string& name : diffusion_process_names()) EXPECT_NE(make_diffusion_process(name), nullptr);
  EXPECT_THROW(make_diffusion_process("nonesuch"), Error);
}

// UNet2DModel is unet_2d_model.
TEST(NetworkFormats, AreThoseOfTheirFolder) {
  std::set<std::string> classes, files;
  for (const NetworkFormat& format : network_formats()) {
    std::string name(format.class_name);
    std::ranges::transform(name, name.begin(), [](unsigned char letter) { return std::tolower(letter); });
    EXPECT_TRUE(classes.insert(name).second);
    const ConfigReader config({{"_class_name", format.class_name}}, "config.json");
    EXPECT_EQ(format_of_class(config).class_name, format.class_name);
  }
  for (std::string name : names_in("models/exchange/networks", ".h")) {
    std::erase(name, '_');
    files.insert(name);
  }
  EXPECT_EQ(classes, files);
  EXPECT_THROW(format_of_class(ConfigReader({{"_class_name", "nonesuch"}}, "config.json")), Error);
  EXPECT_THROW(format_of_run({}), Error);
}

}  // namespace
}  // namespace ganymede
