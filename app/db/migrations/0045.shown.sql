-- depends: 0044.traces
-- How long events took that were traced, in bins, by the quarter of an hour in which it was written down: from their
-- commit to the last socket, and from there to a screen.
CREATE TABLE IF NOT EXISTS `rushes_shown` (
  `quarter` INT UNSIGNED NOT NULL,
  `handed_times` BLOB NOT NULL,
  `shown_times` BLOB NOT NULL,
  PRIMARY KEY (`quarter`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
