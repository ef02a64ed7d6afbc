"""From recordings, sound and video, to streams of features.

All features have 25 rows a second, as the releases do. Row `i` is the time from
`i / 25` to `(i + 1) / 25` seconds after the recording begins. It holds

* of a video: the picture that is shown at `i / 25`;
* of a sound: this row's 40 ms, or the second that ends with them, never what is later.

A row is written if at least half of its 40 ms were recorded.
"""
