-- depends: 0023.webhook-times
-- The processes of the server that are there: each says so every few seconds, by the database's clock, and what it has.
CREATE TABLE IF NOT EXISTS `rushes_processes` (
  `id` CHAR(12) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `version` VARCHAR(32) NOT NULL,
  `started_at` DATETIME(6) NOT NULL,
  `seen_at` DATETIME(6) NOT NULL,
  `behind` BIGINT NOT NULL,
  `sse` INTEGER NOT NULL,
  `websocket` INTEGER NOT NULL,
  `spooled` INTEGER NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
