# One image, one entry per program: operator/main.js (the default) and agent/main.js.
FROM node:24-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run build

FROM node:24-slim
WORKDIR /app
COPY --from=build /src/dist ./
USER 65532:65532
CMD ["node", "operator/main.js"]
