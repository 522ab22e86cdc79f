#pragma once

#include "launch/pictures/picture.h"

namespace ganymede {

/// The pictures of the table in picture.cpp, one source each.

/// Images in order, as one grid, a dataset or a folder (launch/image_sink.h).
void write_images(const PictureJob& job);
/// Rows are classes, columns latents.
void write_class_sheet(const PictureJob& job);
/// A row leads from one image to the next (Radford et al., arXiv 1511.06434, figure 4).
void write_interpolation(const PictureJob& job);
/// The same in time, back to the first image: an animated PNG, or a folder of frames.
void write_film(const PictureJob& job);
/// Each term's images in a column with the image of their mean under the longest one; beside them 3 x 3 images of
/// the sum, the centre as it is and the others with uniform noise of +-spread (the same paper, figure 7).
void write_arithmetic(const PictureJob& job);
/// A row shows an image and the images of the reference nearest to it.
void write_neighbours(const PictureJob& job);
/// Rows are images, columns the values of a code (Chen et al., arXiv 1606.03657, figure 2): categories, or numbers from
/// -1 to 1. Of all codes, one such sheet is under another, with a blank row between.
void write_codes(const PictureJob& job);
/// A row shows an image come about: what the network takes the noise for at first, later, and in the end.
void write_trajectories(const PictureJob& job);
/// A row shows an image at each scale of guidance.
void write_guidance(const PictureJob& job);
/// The first half of the images in the first column, the other half in the first row; where they meet, an image of the
/// row's styles but for layers first_layer .. last_layer, which have the column's (Karras et al., arXiv 1812.04948,
/// figure 3).
void write_style_mixing(const PictureJob& job);

}  // namespace ganymede
