#include <gtest/gtest.h>

#include "core/error.h"
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

}  // namespace
}  // namespace ganymede
