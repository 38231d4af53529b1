-- depends: 0001.video-generations
CREATE TABLE IF NOT EXISTS `video_files` (
  `id` VARCHAR(191) NOT NULL,
  `filename` VARCHAR(191) NOT NULL,
  `s3Key` VARCHAR(191) NOT NULL,
  `fileUrl` TEXT NULL,
  `filePath` TEXT NULL,
  `fileSize` INTEGER NOT NULL,
  `format` VARCHAR(191) NOT NULL DEFAULT 'mp4',
  `durationSeconds` INTEGER NOT NULL,
  `aspectRatio` VARCHAR(191) NOT NULL,
  `width` INTEGER NOT NULL,
  `height` INTEGER NOT NULL,
  `remoteUri` TEXT NULL,
  `metadata` JSON NULL,
  `createdAt` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  `generationId` VARCHAR(191) NOT NULL,
  UNIQUE INDEX `video_files_s3Key_key` (`s3Key`),
  PRIMARY KEY (`id`),
  CONSTRAINT `video_files_generationId_fkey` FOREIGN KEY (`generationId`)
    REFERENCES `video_generations` (`id`) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
