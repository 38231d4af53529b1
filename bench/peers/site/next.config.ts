import type { NextConfig } from "next";

const config: NextConfig = {
  // Not the checkout, whose lock file is another project's.
  turbopack: { root: import.meta.dirname },
};

export default config;
