-- depends: 0002.video-files
-- One row: the id of the newest event. Taken last in a transaction and held to its commit,
-- so that ids have no gaps and follow the order of commits.
CREATE TABLE IF NOT EXISTS `rushes_counter` (
  `id` TINYINT NOT NULL,
  `value` BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
