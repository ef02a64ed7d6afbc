"""Makes streams of features from recordings of sound and video.

All features have 25 rows a second, as in the releases. Row `i` stands for the time from
`i / 25` to `(i + 1) / 25` seconds after the recording begins. It describes

* in a video: the picture that is shown at `i / 25`;
* in a sound: the 40 ms of this row, or the second that ends with them, but no later
  sound.

A row is written if at least half of its 40 ms were recorded.
"""
