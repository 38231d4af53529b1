-- depends: 0008.requests
-- One row: the log's name, by which installations that share a Redis are told apart.
CREATE TABLE IF NOT EXISTS `rushes_log` (
  `id` TINYINT NOT NULL,
  `name` CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
