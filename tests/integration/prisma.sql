CREATE TABLE `users` (
    `id` VARCHAR(191) NOT NULL,
    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE TABLE `organizations` (
    `id` VARCHAR(191) NOT NULL,
    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE TABLE `video_generations` (
    `id` VARCHAR(191) NOT NULL,
    `prompt` TEXT NOT NULL,
    `inputImageBase64` LONGTEXT NULL,
    `aspectRatio` VARCHAR(191) NOT NULL DEFAULT '16:9',
    `numberOfVideos` INTEGER NOT NULL DEFAULT 1,
    `durationSeconds` INTEGER NOT NULL DEFAULT 8,
    `personGeneration` VARCHAR(191) NOT NULL DEFAULT 'ALLOW_ALL',
    `status` ENUM('PENDING', 'PROCESSING', 'GENERATING', 'DOWNLOADING', 'COMPLETED', 'FAILED') NOT NULL DEFAULT 'PENDING',
    `error` TEXT NULL,
    `progress` INTEGER NOT NULL DEFAULT 0,
    `message` TEXT NULL,
    `model` VARCHAR(191) NOT NULL DEFAULT 'veo-2.0-generate-001',
    `modelVersion` VARCHAR(191) NOT NULL DEFAULT '2.0',
    `processingTime` DOUBLE NULL,
    `generationTime` DOUBLE NULL,
    `downloadTime` DOUBLE NULL,
    `authorId` VARCHAR(191) NOT NULL,
    `organizationId` VARCHAR(191) NULL,
    `storageProvider` ENUM('LOCAL', 'AWS_S3', 'GOOGLE_CLOUD', 'AZURE_BLOB') NOT NULL DEFAULT 'AWS_S3',
    `s3Bucket` VARCHAR(191) NULL,
    `createdAt` DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    `updatedAt` DATETIME(3) NOT NULL,
    `completedAt` DATETIME(3) NULL,
    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE TABLE `video_files` (
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
    UNIQUE INDEX `video_files_s3Key_key`(`s3Key`),
    PRIMARY KEY (`id`)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
ALTER TABLE `video_generations` ADD CONSTRAINT `video_generations_authorId_fkey` FOREIGN KEY (`authorId`) REFERENCES `users`(`id`) ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE `video_generations` ADD CONSTRAINT `video_generations_organizationId_fkey` FOREIGN KEY (`organizationId`) REFERENCES `organizations`(`id`) ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE `video_files` ADD CONSTRAINT `video_files_generationId_fkey` FOREIGN KEY (`generationId`) REFERENCES `video_generations`(`id`) ON DELETE CASCADE ON UPDATE CASCADE;
