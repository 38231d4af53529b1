-- depends: 0024.processes
-- Browsers that are told of a user's jobs by Web Push: `id` is the SHA-256 of the endpoint, `subject` the token's `sub`.
-- It is told of events after `since`. After `failures` in a row nothing is sent there before `paused_until`.
CREATE TABLE IF NOT EXISTS `rushes_push` (
  `id` CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `author_id` VARCHAR(191) NOT NULL,
  `subject` VARCHAR(191) NOT NULL,
  `endpoint` VARCHAR(2048) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `p256dh` CHAR(87) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `auth` CHAR(22) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `language` CHAR(2) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `since` BIGINT UNSIGNED NOT NULL,
  `renewed_at` DATETIME(6) NOT NULL,
  `failures` INTEGER NOT NULL DEFAULT 0,
  `paused_until` DATETIME(6) NULL,
  PRIMARY KEY (`id`),
  INDEX `rushes_push_author` (`author_id`, `renewed_at`),
  INDEX `rushes_push_renewed` (`renewed_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
