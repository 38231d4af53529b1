-- depends: 0031.audit
-- Replays of many: what each is of, and how far it is. `filter` and `counts` are JSON; `place` is the id up to which
-- webhooks have been chosen, NULL once all are.
CREATE TABLE IF NOT EXISTS `rushes_replays` (
  `id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `name` VARCHAR(191) NOT NULL,
  `who` VARBINARY(764) NOT NULL,
  `means` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `state` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `dry_run` TINYINT NOT NULL,
  `filter` TEXT NOT NULL,
  `place` VARCHAR(33) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `counts` TEXT NULL,
  `created_at` DATETIME(6) NOT NULL,
  `ended_at` DATETIME(6) NULL,
  PRIMARY KEY (`id`),
  INDEX `rushes_replays_state` (`state`, `id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The webhooks of each: what they were when they were chosen, what each would become, and what it has become; NULL while
-- that is not known.
CREATE TABLE IF NOT EXISTS `rushes_replayed` (
  `replay_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `webhook_id` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `was` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `preview` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `outcome` VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
  `changed` TINYINT NULL,
  `error_code` VARCHAR(32) NULL,
  PRIMARY KEY (`replay_id`, `webhook_id`),
  INDEX `rushes_replayed_preview` (`replay_id`, `preview`, `webhook_id`),
  INDEX `rushes_replayed_outcome` (`replay_id`, `outcome`, `webhook_id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
