// octet: the launcher. Links no libtorch; opens liboctet.so when a command needs tensors.
#include "app/launch.hpp"

int main(int argc, char** argv) { return octet::app::launch(std::vector<std::string>(argv + 1, argv + argc)); }
