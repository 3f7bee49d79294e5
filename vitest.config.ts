import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-pool-workers";
import { defineConfig } from "vitest/config";
import { ensureDashboard } from "./src/cli/dashboard-build.ts";

export default defineConfig(async () => {
  await ensureDashboard(import.meta.dirname);
  const migrations = await readD1Migrations("./migrations");
  return {
    test: {
      // Files wait more than they compute: with one worker, the default of two cores, CI would take twice as long.
      maxWorkers: 2,
      // The counts that .ci/run adds up.
      reporters: process.env.CI ? ["default", "json"] : ["default"],
      outputFile: { json: "test-results/vitest.json" },
      projects: [
        {
          test: {
            name: "unit",
            include: [
              "test/*.test.ts",
              "test/domain/**/*.test.ts",
              "test/cli/**/*.test.ts",
              "test/client/**/*.test.ts",
              "test/dashboard/**/*.test.ts",
              "test/coordinator-unit/**/*.test.ts",
            ],
          },
        },
        {
          plugins: [
            cloudflareTest({
              main: "./src/index.ts",
              wrangler: { configPath: "./wrangler.toml" },
              miniflare: {
                serviceBindings: { BILLING: "billing" },
                workers: [
                  {
                    name: "billing",
                    modules: true,
                    scriptPath: "./test/fixtures/service/billing.mjs",
                    compatibilityDate: "2026-08-15",
                  },
                ],
                bindings: {
                  ENVIRONMENT: "development",
                  ALLOW_LOOPBACK_ENDPOINTS: "true",
                  ADMIN_TOKEN: "test-admin-token-0123456789abcdef0123456789",
                  ENCRYPTION_KEYS: "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                  // `private` is mapped for a project that is nobody's.
                  SERVICE_ENDPOINTS: JSON.stringify({
                    billing: { binding: "BILLING", projects: "*" },
                    private: { binding: "BILLING", projects: ["019c2f6e-7d80-7a3b-9c55-0000000002a1"] },
                  }),
                  R2_SOURCES: '{"DATA":{"binding":"DATA","projects":"*"}}',
                  TEST_MIGRATIONS: migrations,
                  // How long the models play; see test/coordinator/lane.test.ts.
                  MODEL_RUNS: process.env.MODEL_RUNS ?? "",
                  MODEL_SEED: process.env.MODEL_SEED ?? "",
                  MODEL_PATH: process.env.MODEL_PATH ?? "",
                  MODEL_SHRINK: process.env.MODEL_SHRINK ?? "",
                },
              },
            }),
          ],
          test: {
            name: "workers",
            include: ["test/{coordinator,delivery,store,operations,webhooks,workflows,imports,http}/**/*.test.ts"],
            globalSetup: ["./test/fixtures/endpoint/global-setup.ts", "./test/fixtures/s3/global-setup.ts"],
            setupFiles: ["./test/fixtures/apply-migrations.ts"],
            // It requires a module that only a bundler's interop can give it, as wrangler's does.
            deps: { optimizer: { ssr: { enabled: true, include: ["cron-parser"] } } },
            testTimeout: 30_000,
          },
        },
        {
          test: {
            name: "e2e",
            include: ["test/e2e/**/*.test.ts"],
            testTimeout: 180_000,
            hookTimeout: 120_000,
            // After the others: these start whole servers and kill them.
            sequence: { groupOrder: 1 },
          },
        },
      ],
    },
  };
});
