-- depends: 0021.marks
-- What was counted in a quarter of an hour, by its number since 1970: `counts` is JSON, the others are times in bins.
CREATE TABLE IF NOT EXISTS `rushes_rollups` (
  `quarter` INT UNSIGNED NOT NULL,
  `counts` TEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `job_times` BLOB NOT NULL,
  `webhook_times` BLOB NOT NULL,
  PRIMARY KEY (`quarter`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Quarters to be counted again. Rows are only ever added, by whoever changes what is counted there: no two wait for each
-- other.
CREATE TABLE IF NOT EXISTS `rushes_dirty` (
  `quarter` INT UNSIGNED NOT NULL,
  `token` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`quarter`, `token`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The end of each generation, as the log tells it: "completed" or the kind of the failure, in which quarter it was
-- committed, and after how many microseconds, where that is known.
CREATE TABLE IF NOT EXISTS `rushes_ends` (
  `job_id` VARBINARY(764) NOT NULL,
  `event_id` BIGINT UNSIGNED NOT NULL,
  `quarter` INT UNSIGNED NOT NULL,
  `ended` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `took` BIGINT NULL,
  PRIMARY KEY (`job_id`),
  INDEX `rushes_ends_quarter` (`quarter`, `ended`, `took`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
