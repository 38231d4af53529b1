-- depends: 0041.notices
-- Of events that are traced: by which process they were written to how many sockets, and when to the first and the last;
-- when that process committed them, where it did; when the first browser had shown them, and how many have told so. Times are in
-- microseconds since 1970.
CREATE TABLE IF NOT EXISTS `rushes_traces` (
  `event_id` BIGINT UNSIGNED NOT NULL,
  `process` CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `digits` CHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `committed_at` BIGINT NULL,
  `handed_at` BIGINT NOT NULL,
  `handed_last_at` BIGINT NOT NULL,
  `sockets` INTEGER NOT NULL,
  `shown_at` BIGINT NULL,
  `shown` INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (`event_id`, `process`),
  INDEX `rushes_traces_age` (`handed_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
