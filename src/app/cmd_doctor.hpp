#pragma once
#include "app/product_rates.hpp"
#include "base/config.hpp"
#include "base/context.hpp"

namespace octet::app {

enum class Health { good, warning, bad, absent };
OCTET_ENUM(Health, good, warning, bad, absent)

struct Check {
  std::string name;
  Health health = Health::good;
  std::string text, fix;
  OCTET_REPORT(Check, name, health, text, fix)
};
struct DoctorConfig {
  OCTET_FIELDS(DoctorConfig)
};
struct DoctorReport {
  bool healthy = true;
  std::vector<Check> checks;
  ProductRates products;
  OCTET_REPORT(DoctorReport, healthy, checks, products)
};

DoctorReport examine(Context& context);
/// octet doctor: what this machine has and what is missing. Exit 5 if anything is bad.
int cmd_doctor(Context& context, const DoctorConfig& config);

}  // namespace octet::app
