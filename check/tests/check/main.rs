//! What is promised of a description: bounds, and advice where one is too long.
mod advice;
mod bounds;
mod descriptions;
